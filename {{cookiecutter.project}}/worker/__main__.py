"""``python -m worker``: serve the platform's queue; off the platform, the SDK's local modes (--test_input, --rp_serve_api)."""

import sys

from worker import bootstrap

if __name__ == "__main__":
    bootstrap.main(sys.argv[1:])
