# SPDX-License-Identifier: GPL-2.0-or-later
#
# windows.dat -> windows.svg: a window's speed as a part of the guest's own RAM
# and of ivshmem-plain, by size.  A block of windows.dat for each operation.

set terminal svg size 960,420 dynamic background "white" font "sans,12"
set output "windows.svg"
set multiplot layout 1,2
set logscale x 2
set xlabel "size"
set xtics ("8 B" 8, "64 B" 64, "512 B" 512, "4 K" 4096, "32 K" 32768, \
           "256 K" 262144, "2 M" 2097152, "16 M" 16777216, "64 M" 67108864) \
    rotate by -45
set xrange [4:134217728]
set yrange [0:1.4]
set grid y
set key bottom left
operations = "write read copy"

set title "idt-ntb window / own RAM"
plot for [i=0:2] "windows.dat" index i using 1:2:3:4 with yerrorlines \
         linewidth 1.5 pointtype 7 pointsize 0.5 \
         title word(operations, i + 1), \
     0.95 with lines dashtype 2 linecolor "gray40" title "to reach"

set title "idt-ntb window / ivshmem-plain"
plot for [i=0:2] "windows.dat" index i using 1:5:6:7 with yerrorlines \
         linewidth 1.5 pointtype 7 pointsize 0.5 \
         title word(operations, i + 1), \
     0.98 with lines dashtype 2 linecolor "gray40" title "to reach"
unset multiplot
