"""``python -m worker.evaluation.precision``: the accuracy guard."""

import sys

from worker.evaluation.precision.guard import main

sys.exit(main())
