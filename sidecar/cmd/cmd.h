/*
 * The subcommands: one thin file each. A command gets its own arguments (argv[0] is its name) and
 * returns the exit status (app/exits.h).
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

int cmd_main(int argc, char **argv);

int cmd_run(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_inbox(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_install(int argc, char **argv);

#endif
