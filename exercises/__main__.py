"""`python -m exercises`: next, list, hint, solution, reset, update, watch."""

import sys

from exercises.machinery.commands import main

sys.exit(main())
