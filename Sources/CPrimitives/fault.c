#include "cprimitives.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char *fault_line;

static void on_fault(int signal_number) {
  // Only what a signal handler may do. The default action was restored, so returning ends the process with the signal.
  (void)signal_number;
  ssize_t ignored = write(2, fault_line, strlen(fault_line));
  (void)ignored;
}

void cairn_name_faults(const char *line) {
  fault_line = line;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_fault;
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}
