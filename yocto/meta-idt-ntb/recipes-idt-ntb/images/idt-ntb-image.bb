# SPDX-License-Identifier: GPL-2.0-or-later

SUMMARY = "Small image that plays ping-pong with other guests through idt-ntb"
LICENSE = "MIT"

require recipes-core/images/core-image-minimal.bb

IMAGE_INSTALL += "idt-ntb-client"

# To try the device with: root logs in without a password
IMAGE_FEATURES += "allow-empty-password empty-root-password allow-root-login"

# Guests that run side by side share one file, which runqemu would unpack and
# remove again if it was compressed
IMAGE_FSTYPES:append = " ext4"
QB_DEFAULT_FSTYPE = "ext4"
