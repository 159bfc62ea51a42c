/*
 * Arguments to a subcommand to an exit status. Nothing else happens here.
 */
#include "cmd/cmd.h"

int main(int argc, char **argv)
{
    return cmd_main(argc, argv);
}
