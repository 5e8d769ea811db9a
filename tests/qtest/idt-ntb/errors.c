#include "qemu/osdep.h"
#include "tests.h"
void ntb_add_error_tests(void)
{
}
