"""``python -m worker``: serve the platform's queue; off the platform, the SDK's local modes (--test_input, --rp_serve_api)."""

import sys

if __name__ == "__main__":
    # Here, since MinerU's own processes import this file again.
    from worker import bootstrap

    bootstrap.main(sys.argv[1:])
