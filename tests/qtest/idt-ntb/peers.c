#include "qemu/osdep.h"
#include "harness.h"
#include "tests.h"
void ntb_add_peer_tests(void)
{
}
