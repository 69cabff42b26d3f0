"""Training in a process of its own: ``python -m diffgmm.training fit --config ...``."""

from __future__ import annotations

import sys

from diffgmm.training.lightning_cli import run
from diffgmm.utils.errors import INTERRUPTED, complain, exit_code


def main() -> int:
    """Run a training verb; returns the exit code, as ``diffgmm fit`` does."""
    try:
        return run(sys.argv[1:])
    except SystemExit as end:  # --help, and errors of Lightning's own
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except Exception as error:
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
