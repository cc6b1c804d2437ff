"""`python -m sls_siem`."""

import sys

from sls_siem.cli import main

sys.exit(main())
