#include "qemu/osdep.h"
#include "harness.h"
#include "tests.h"
void ntb_add_race_tests(void)
{
}
