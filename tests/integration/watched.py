#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""watched.py FOLDER COMMAND…: runs a command, its output in FOLDER/out and FOLDER/err, its pid in FOLDER/pid, and when it
has ended FOLDER/end: its exit status (-N: signal N), the seconds it took, and the most memory it had, in KiB. What it
says to its service manager is in FOLDER/notify, a packet a line, escaped. After 100 seconds it is killed."""
import os
import signal
import socket
import subprocess
import sys
import threading
import time

LIMIT_S = 100


def write(folder, name, text):
    """Whole or not at all."""
    with open(os.path.join(folder, name + ".new"), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))


def listen(manager, folder):
    with open(os.path.join(folder, "notify"), "w", encoding="utf-8", buffering=1) as f:
        while True:
            packet = manager.recv(65536)
            if packet == b"end":
                return
            f.write(repr(packet) + "\n")


def main():
    folder, command = sys.argv[1], sys.argv[2:]
    address = os.path.join(folder, "notify-socket")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    listener = threading.Thread(target=listen, args=(manager, folder))
    listener.start()
    # A shell lets what it starts in the background ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    begin = time.monotonic()
    with open(os.path.join(folder, "out"), "wb") as out, open(os.path.join(folder, "err"), "wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, "NOTIFY_SOCKET": address})
    write(folder, "pid", str(process.pid))
    guard = threading.Timer(LIMIT_S, os.kill, (process.pid, signal.SIGKILL))
    guard.start()
    _, status, usage = os.wait4(process.pid, 0)
    guard.cancel()
    seconds = time.monotonic() - begin
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"end", address)
    listener.join()
    write(folder, "end", f"{os.waitstatus_to_exitcode(status)} {seconds:.0f} {usage.ru_maxrss}")


if __name__ == "__main__":
    main()
