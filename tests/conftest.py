"""What all tests share."""

import logging
import sys
from pathlib import Path

from .lab.replay import *  # noqa: F401, F403  # the hooks

# Salt's log handlers outlive pytest's streams.
logging.raiseExceptions = False

# The pure modules are plain Python: `import sit_tunnel`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_modules"))
