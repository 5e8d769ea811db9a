/*
 * IDT 89HPESxNTx PCIe switch: registers
 *
 * Names, addresses and fields of registers, by address.  Names are those of the
 * Linux driver and of board software.  Of registers that repeat, usually only
 * the first one is here, with the distance to the next one (stride) if it is
 * not 4 bytes.  Write numbers in lower case: idt-ntb-eeprom.py reads no others.
 *
 * The device and its tests include this file; scripts/idt-ntb-eeprom.py parses
 * it, macros with a number or name of a value as well as registers.
 *
 * Sources: the Linux driver drivers/ntb/hw/idt and public EEPROM images for
 * boards with these chips; docs/specs/idt-ntb.rst says what is inferred.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_REGS_H
#define HW_MISC_IDT_NTB_REGS_H

#include "hw/registerfields.h"

/*
 * The global address space (GAS) has the registers of all ports and of the
 * switch.  Port n is at IDT_GAS_PORT_STRIDE * n: first its PCI-to-PCI bridge
 * function, then its NT function at IDT_GAS_NT_FUNCTION.  The registers of the
 * switch begin at IDT_GAS_SWITCH.  Numbers are bytes.
 */
#define IDT_GAS_SIZE            0x40000
#define IDT_GAS_PORT_STRIDE     0x2000
#define IDT_GAS_NT_FUNCTION     0x1000
#define IDT_GAS_SWITCH          0x3e000

#define IDT_NT_CFG_SHIFT        12
#define IDT_NT_CFG_SIZE         (1 << IDT_NT_CFG_SHIFT)
#define IDT_NT_REGS             0x400   /* registers after the capabilities */

#define IDT_MAX_PORTS           24
#define IDT_MAX_NT_PORTS        8
#define IDT_MAX_PARTITIONS      8
#define IDT_NUM_DOORBELLS       32
#define IDT_NUM_MESSAGES        4
#define IDT_NUM_BARS            6
#define IDT_NUM_MTBL            64
#define IDT_MTBL_PER_PROT_BIT   2       /* entries for a bit of NTMTBLPROTx */
#define IDT_NUM_LUTS            2       /* for BAR2 and BAR4 */
#define IDT_LUT_ENTRIES         24      /* LUT12 uses 12 of them */
#define IDT_LUT_WORDS           3       /* LUTLDATA, LUTMDATA, LUTUDATA */
#define IDT_NUM_FAILOVER_CAPS   4
#define IDT_NUM_STACKS          4
#define IDT_NUM_SERDES          8
#define IDT_NUM_GPIO_REGS       5
#define IDT_NUM_IO_EXPANDERS    6
#define IDT_NUM_MCAST_GROUPS    4

/* NT function: capabilities */

#define IDT_CAP_PCIE            0x040
#define IDT_CAP_PM              0x0c0
#define IDT_CAP_MSI             0x0d0
#define IDT_CAP_SSVID           0x0f0
#define IDT_CAP_AER             0x100
#define IDT_CAP_DSN             0x180
#define IDT_CAP_VC              0x200
#define IDT_CAP_ACS             0x320
#define IDT_CAP_MCAST           0x330

REG32(PCIELCAP, 0x04c)
    FIELD(PCIELCAP, PORTNUM, 24, 8)
REG32(PCIELCTLSTS, 0x050)
    FIELD(PCIELCTLSTS, CCLK, 6, 1)
    FIELD(PCIELCTLSTS, SCLK, 28, 1)
REG32(SSIDSSVID, 0x0f4)
/* Access to all 4 KiB of configuration space from the first 256 bytes */
REG32(ECFGADDR, 0x0f8)
    FIELD(ECFGADDR, REG, 2, 10)
REG32(ECFGDATA, 0x0fc)
REG32(DSN_LOWER, 0x184)
    FIELD(DSN_LOWER, PORTNUM, 0, 8)
REG32(DSN_UPPER, 0x188)

/* NT function: multicast capability; a mask has one bit for each group */

REG16(MCCAP, 0x334)
REG16(MCCTL, 0x336)
    FIELD(MCCTL, NUMGROUP, 0, 6)
    FIELD(MCCTL, EN, 15, 1)
REG32(MCBARL, 0x338)
    FIELD(MCBARL, INDEXPOS, 0, 6)
    FIELD(MCBARL, BASE, 12, 20)
REG32(MCBARH, 0x33c)
REG32(MCRCVL, 0x340)
REG32(MCBLKALLL, 0x348)
REG32(MCBLKUTL, 0x350)

/* NT function: control and interrupts */

REG32(NTCTL, 0x400)
    FIELD(NTCTL, IDPROTDIS, 0, 1)
    FIELD(NTCTL, CPEN, 1, 1)
    FIELD(NTCTL, RNS, 2, 1)
    FIELD(NTCTL, ATP, 3, 1)
REG32(NTINTSTS, 0x404)
    FIELD(NTINTSTS, MSG, 0, 1)
    FIELD(NTINTSTS, DBELL, 1, 1)
    FIELD(NTINTSTS, SEVENT, 3, 1)
    FIELD(NTINTSTS, FMCI, 4, 1)
    FIELD(NTINTSTS, FMCC, 5, 1)
    FIELD(NTINTSTS, TMPSENSOR, 7, 1)
REG32(NTINTMSK, 0x408)
REG32(NTSDATA, 0x40c)
REG32(NTGSIGNAL, 0x410)
    FIELD(NTGSIGNAL, SET, 0, 1)
REG32(NTIERRORMSK0, 0x414)
REG32(NTIERRORMSK1, 0x418)

/* NT function: doorbells */

REG32(OUTDBELLSET, 0x420)
REG32(INDBELLSTS, 0x428)
REG32(INDBELLMSK, 0x42c)

/* NT function: messages */

REG32(OUTMSG0, 0x430)
REG32(INMSG0, 0x440)
REG32(INMSGSRC0, 0x450)
    FIELD(INMSGSRC0, SRC, 0, 3)
REG32(MSGSTS, 0x460)
    FIELD(MSGSTS, OUTMSGSTS, 0, 4)
    FIELD(MSGSTS, INMSGSTS, 16, 4)
REG32(MSGSTSMSK, 0x464)

/* NT function: BARs */

#define IDT_BAR_STRIDE          0x10

REG32(BARSETUP0, 0x470)
    FIELD(BARSETUP0, MEMSI, 0, 1)
    FIELD(BARSETUP0, TYPE, 1, 2)
    FIELD(BARSETUP0, PREF, 3, 1)
    FIELD(BARSETUP0, SIZE, 4, 6)
    FIELD(BARSETUP0, MODE, 10, 1)
    FIELD(BARSETUP0, ATRAN, 11, 2)
    FIELD(BARSETUP0, TPART, 13, 3)
    FIELD(BARSETUP0, EN, 31, 1)

#define IDT_BAR_TYPE_32         0
#define IDT_BAR_TYPE_64         2
#define IDT_BAR_ATRAN_DIRECT    0
#define IDT_BAR_ATRAN_LUT12     1
#define IDT_BAR_ATRAN_LUT24     2

REG32(BARLIMIT0, 0x474)
REG32(BARLTBASE0, 0x478)
REG32(BARUTBASE0, 0x47c)

/* NT function: mapping table */

REG32(NTMTBLADDR, 0x4d0)
    FIELD(NTMTBLADDR, ENTRY, 0, 7)
REG32(NTMTBLSTS, 0x4d4)
    FIELD(NTMTBLSTS, ERR, 0, 1)
REG32(NTMTBLDATA, 0x4d8)
    FIELD(NTMTBLDATA, VALID, 0, 1)
    FIELD(NTMTBLDATA, REQID, 1, 16)
    FIELD(NTMTBLDATA, PART, 17, 3)
    FIELD(NTMTBLDATA, ATP, 29, 1)
    FIELD(NTMTBLDATA, CNS, 30, 1)
    FIELD(NTMTBLDATA, RNS, 31, 1)
REG32(REQIDCAP, 0x4dc)
    FIELD(REQIDCAP, REQID, 0, 16)

/* NT function: window lookup table */

REG32(LUTOFFSET, 0x4e0)
    FIELD(LUTOFFSET, INDEX, 0, 5)
    FIELD(LUTOFFSET, BAR, 8, 3)
REG32(LUTLDATA, 0x4e4)
REG32(LUTMDATA, 0x4e8)
REG32(LUTUDATA, 0x4ec)
    FIELD(LUTUDATA, PART, 0, 4)
    FIELD(LUTUDATA, VALID, 31, 1)

/* NT function: error emulation, punch-through, multicast */

REG32(NTUEEM, 0x4f0)
REG32(NTCEEM, 0x4f4)
REG32(PTCCTL0, 0x510)
REG32(PTCCTL1, 0x514)
REG32(PTCDATA, 0x518)
REG32(PTCSTS, 0x51c)
REG32(NTMCG0PA, 0x600)

/* NT function: global address space access */

REG32(GASAADDR, 0xff8)
    FIELD(GASAADDR, REG, 2, 16)         /* byte address */
REG32(GASADATA, 0xffc)

/* Switch: control */

REG32(SWCTL, 0x3e000)
REG32(BCVSTS, 0x3e004)          /* boot pins, as sampled at power-up */
    FIELD(BCVSTS, SWMODE, 0, 4)
    FIELD(BCVSTS, GCLKFSEL, 5, 1)
    FIELD(BCVSTS, SSMBADDR, 7, 2)
    FIELD(BCVSTS, CLKMODE, 14, 2)
REG32(PCLKMODE, 0x3e008)
REG32(STK0CFG, 0x3e010)
REG32(RDRAINDELAY, 0x3e080)
REG32(POMCDELAY, 0x3e084)
REG32(SEDELAY, 0x3e088)
REG32(USSBRDELAY, 0x3e08c)

/* Value of BCVSTS.SWMODE: several partitions, serial EEPROM (inferred) */
#define IDT_SWMODE_PARTS_EEPROM 0xd

#define IDT_RDRAINDELAY_RESET   0x0fa
#define IDT_POMCDELAY_RESET     0x3e8
#define IDT_SEDELAY_RESET       0x3e8
#define IDT_USSBRDELAY_RESET    0

/*
 * Switch: partitions
 *
 * The manual names the fields for failover, here and below, but no source has
 * their bits: they are inferred.
 */

#define IDT_PART_STRIDE         0x20

REG32(SWPART0CTL, 0x3e100)
    FIELD(SWPART0CTL, STATE, 0, 2)
    FIELD(SWPART0CTL, FCAPSEL, 24, 2)
    FIELD(SWPART0CTL, FEN, 28, 1)
REG32(SWPART0STS, 0x3e104)
    FIELD(SWPART0STS, SCI, 0, 1)
    FIELD(SWPART0STS, SCC, 1, 1)
    FIELD(SWPART0STS, PFAILOVER, 2, 1)
    FIELD(SWPART0STS, SFAILOVER, 3, 1)
    FIELD(SWPART0STS, STATE, 5, 2)
    FIELD(SWPART0STS, US, 8, 1)
    FIELD(SWPART0STS, USID, 9, 5)
    FIELD(SWPART0STS, NT, 14, 1)
    FIELD(SWPART0STS, DMA, 15, 1)
REG32(SWPART0FCTL, 0x3e108)
    FIELD(SWPART0FCTL, PFSTATE, 0, 2)
    FIELD(SWPART0FCTL, SFSTATE, 16, 2)

#define IDT_PART_STATE_DISABLED 0
#define IDT_PART_STATE_ACTIVE   1
#define IDT_PART_STATE_RESERVED 2
#define IDT_PART_STATE_RESET    3

/* Switch: ports */

#define IDT_SWPORT_STRIDE       0x20

REG32(SWPORT0CTL, 0x3e200)
    FIELD(SWPORT0CTL, MODE, 0, 4)
    FIELD(SWPORT0CTL, SWPART, 4, 3)
    FIELD(SWPORT0CTL, OMA, 8, 2)        /* inferred, like DEVNUM */
    FIELD(SWPORT0CTL, DEVNUM, 16, 5)
    FIELD(SWPORT0CTL, FCAPSEL, 24, 2)
    FIELD(SWPORT0CTL, FEN, 28, 1)
REG32(SWPORT0STS, 0x3e204)
    FIELD(SWPORT0STS, OMCI, 0, 1)
    FIELD(SWPORT0STS, OMCC, 1, 1)
    FIELD(SWPORT0STS, PFAILOVER, 2, 1)
    FIELD(SWPORT0STS, SFAILOVER, 3, 1)
    FIELD(SWPORT0STS, LINKUP, 4, 1)
    FIELD(SWPORT0STS, DS, 5, 1)
    FIELD(SWPORT0STS, MODE, 6, 4)
    FIELD(SWPORT0STS, SWPART, 10, 3)
    FIELD(SWPORT0STS, DEVNUM, 16, 5)
REG32(SWPORT0FCTL, 0x3e208)
    FIELD(SWPORT0FCTL, PFMODE, 0, 4)
    FIELD(SWPORT0FCTL, PFSWPART, 4, 3)
    FIELD(SWPORT0FCTL, PFDEVNUM, 8, 5)
    FIELD(SWPORT0FCTL, SFMODE, 16, 4)
    FIELD(SWPORT0FCTL, SFSWPART, 20, 3)
    FIELD(SWPORT0FCTL, SFDEVNUM, 24, 5)

/* Values of SWPORTxCTL.OMA: the action when MODE changes */
#define IDT_PORT_OMA_NO_ACTION      0
#define IDT_PORT_OMA_RESET          1

/* Values of MODE in SWPORTxCTL, SWPORTxSTS and SWPORTxFCTL */
#define IDT_PORT_MODE_DISABLED      0
#define IDT_PORT_MODE_DOWNSTREAM    1
#define IDT_PORT_MODE_UPSTREAM      2
#define IDT_PORT_MODE_NT            3
#define IDT_PORT_MODE_UP_NT         4
#define IDT_PORT_MODE_UNATTACHED    5
#define IDT_PORT_MODE_UP_DMA        6
#define IDT_PORT_MODE_UP_NT_DMA     7
#define IDT_PORT_MODE_NT_DMA        8
#define IDT_NUM_PORT_MODES          9

/* Switch: failover capabilities */

#define IDT_FCAP_STRIDE         0x20
/* SWPARTxFCTL and SWPORTxFCTL: bits from a primary to a secondary field */
#define IDT_FCAP_SECONDARY      16

REG32(FCAP0CTL, 0x3e500)
    FIELD(FCAP0CTL, PFTRG, 0, 1)        /* start a primary failover */
    FIELD(FCAP0CTL, SFTRG, 1, 1)        /* start a secondary failover */
REG32(FCAP0STS, 0x3e504)
    FIELD(FCAP0STS, FMCI, 0, 1)
    FIELD(FCAP0STS, FMCC, 1, 1)
REG32(FCAP0TIMER, 0x3e508)

/* Switch: protection */

REG32(GASAPROT, 0x3e700)        /* bit p: partition p has no access */
REG32(NTMTBLPROT0, 0x3e710)     /* bit b protects entries 2b, 2b + 1 */

/* Switch: events; a MSK register masks the bits of its STS register */

REG32(SESTS, 0x3ec00)
    FIELD(SESTS, LINKUP, 0, 1)
    FIELD(SESTS, LINKDN, 1, 1)
    FIELD(SESTS, FRST, 2, 1)
    FIELD(SESTS, HRST, 3, 1)
    FIELD(SESTS, FAILOVER, 4, 1)
    FIELD(SESTS, GSIGNAL, 5, 1)
REG32(SEMSK, 0x3ec04)
REG32(SEPMSK, 0x3ec08)          /* bit p: partition p */
REG32(SELINKUPSTS, 0x3ec0c)     /* bit n: port number n */
REG32(SELINKUPMSK, 0x3ec10)
REG32(SELINKDNSTS, 0x3ec14)     /* bit n: port number n */
REG32(SELINKDNMSK, 0x3ec18)
REG32(SEFRSTSTS, 0x3ec1c)       /* bit p: partition p */
REG32(SEFRSTMSK, 0x3ec20)
REG32(SEHRSTSTS, 0x3ec24)       /* bit p: partition p */
REG32(SEHRSTMSK, 0x3ec28)
REG32(SEFOVRMSK, 0x3ec2c)       /* bit n: failover capability n */
REG32(SEGSIGSTS, 0x3ec30)       /* bit p: partition p */
REG32(SEGSIGMSK, 0x3ec34)

/* Switch: doorbells and messages */

REG32(GDBELLSTS, 0x3ec3c)
REG32(GODBELLMSK0, 0x3ed00)     /* bit p: not from partition p */
REG32(GIDBELLMSK0, 0x3ed80)     /* bit p: not to partition p */

/* From one message to the next; from one partition to the next it is 4 */
#define IDT_MSGCTL_MSG_STRIDE   0x20

REG32(SWP0MSGCTL0, 0x3ee00)
    FIELD(SWP0MSGCTL0, REG, 0, 2)
    FIELD(SWP0MSGCTL0, PART, 4, 3)

/* Switch: SerDes, GPIO, SMBus */

#define IDT_SERDES_STRIDE       0x20

REG32(S0CTL, 0x3f000)
REG32(S0TXLCTL0, 0x3f004)
REG32(S0TXLCTL1, 0x3f008)
REG32(S0RXEQLCTL, 0x3f010)
REG32(GPIOFUNC, 0x3f16c)
REG32(GPIOAFSEL, 0x3f170)
REG32(GPIOCFG, 0x3f174)
REG32(GPIOD, 0x3f178)
REG32(HPCFGCTL, 0x3f17c)
REG32(SMBUSSTS, 0x3f188)
    FIELD(SMBUSSTS, SSMBADDR, 1, 7)
    FIELD(SMBUSSTS, MSMBADDR, 9, 7)
    FIELD(SMBUSSTS, EEPROMDONE, 24, 1)
    FIELD(SMBUSSTS, NAERR, 25, 1)
    FIELD(SMBUSSTS, LAERR, 26, 1)
    FIELD(SMBUSSTS, OTHERERR, 27, 1)
    FIELD(SMBUSSTS, ICSERR, 28, 1)
    FIELD(SMBUSSTS, URIA, 29, 1)
    FIELD(SMBUSSTS, EED, 30, 1)
REG32(SMBUSCTL, 0x3f18c)
    FIELD(SMBUSCTL, ICHECKSUM, 17, 1)
REG32(EEPROMINTF, 0x3f190)
    FIELD(EEPROMINTF, ADDR, 0, 16)
    FIELD(EEPROMINTF, DATA, 16, 8)
    FIELD(EEPROMINTF, BUSY, 24, 1)
    FIELD(EEPROMINTF, DONE, 25, 1)
    FIELD(EEPROMINTF, OP, 26, 1)

#define IDT_EEPROM_SIZE         0x10000 /* bytes that ADDR reaches */
#define IDT_EEPROM_OP_WRITE     0
#define IDT_EEPROM_OP_READ      1

REG32(IOEXPADDR0, 0x3f198)
REG32(GPECTL, 0x3f1b0)
REG32(GPESTS, 0x3f1b4)

/* SMBus addresses: of the chip if BCVSTS.SSMBADDR is 0, of the EEPROM */
#define IDT_SMBUS_SLAVE         0x74
#define IDT_SMBUS_EEPROM        0x50

/* Switch: temperature sensor; a temperature is in half degrees Celsius */

REG32(TMPCTL, 0x3f1d4)
    FIELD(TMPCTL, LTH, 0, 8)
    FIELD(TMPCTL, MTH, 8, 8)
    FIELD(TMPCTL, HTH, 16, 8)
    /* Interrupt enables; only 26 and 29 are known, the others are inferred */
    FIELD(TMPCTL, BHTH_EN, 24, 1)
    FIELD(TMPCTL, BMTH_EN, 25, 1)
    FIELD(TMPCTL, BLTH_EN, 26, 1)
    FIELD(TMPCTL, ALTH_EN, 27, 1)
    FIELD(TMPCTL, AMTH_EN, 28, 1)
    FIELD(TMPCTL, AHTH_EN, 29, 1)
    FIELD(TMPCTL, PDOWN, 31, 1)
REG32(TMPSTS, 0x3f1d8)
    FIELD(TMPSTS, TEMP, 0, 8)
    FIELD(TMPSTS, LTEMP, 8, 8)
    FIELD(TMPSTS, HTEMP, 16, 8)
    /* Below or above the low, middle or high threshold; as in TMPALARM.IRQ */
    FIELD(TMPSTS, BLTH, 24, 1)
    FIELD(TMPSTS, ALTH, 25, 1)
    FIELD(TMPSTS, BMTH, 26, 1)
    FIELD(TMPSTS, AMTH, 27, 1)
    FIELD(TMPSTS, BHTH, 28, 1)
    FIELD(TMPSTS, AHTH, 29, 1)
REG32(TMPALARM, 0x3f1dc)
    FIELD(TMPALARM, LTEMP, 8, 8)
    FIELD(TMPALARM, HTEMP, 16, 8)
    FIELD(TMPALARM, IRQ, 24, 6)
REG32(TMPADJ, 0x3f1e0)
    FIELD(TMPADJ, OFFSET, 0, 8)
REG32(TSSLOPE, 0x3f1e4)
REG32(SMBUSCBHL, 0x3f1e8)

#endif
