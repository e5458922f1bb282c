# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the other files of the bench tell each other when something goes wrong, and how they call programs."""
import subprocess


class Failed(Exception):
    """Something was not measured; the text says why, in one sentence."""


class Skipped(Failed):
    """Something cannot be measured by who runs this; that is no failure."""


def output_of(*command, given=None):
    try:
        run = subprocess.run(command, input=given, capture_output=True, text=True)
    except OSError as e:
        raise Failed(f"{command[0]}: {e.strerror}") from None
    if run.returncode != 0:
        raise Failed(f"{command[0]}: {run.stderr.strip()[-300:]}")
    return run.stdout.strip()
