"""Runs MiniStack as the child of another process, and ends it when that process closes our standard input or dies.

MiniStack saves its state when it is asked to terminate, so the end of the input becomes that request.
"""

import os
import signal
import sys
import threading


def terminate_at_end_of_input():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=terminate_at_end_of_input, daemon=True).start()

from ministack.app import main  # noqa: E402  (the import takes a while: the watch comes first)

sys.argv = ["ministack"]
main()
