"""``python -m worker``: serve the platform's queue; off the platform, the SDK's local modes (--test_input, --rp_serve_api).

``python -m worker --version`` says which release of the template this worker comes from, and with which answers.
"""

import sys

if __name__ == "__main__":
    # Here, since MinerU's own processes import this file again.
    if sys.argv[1:] == ["--version"]:
        from worker import choices

        names = ("STACK", "TIER", "MODEL", "GPU", "WEIGHTS", "CONCURRENCY", "TELEMETRY")
        answers = " ".join(f"{name.lower()}={getattr(choices, name)}" for name in names)
        print(f"{choices.PROJECT}, made by template {choices.TEMPLATE_VERSION} with {answers}")
        sys.exit()
    from worker import bootstrap

    bootstrap.main(sys.argv[1:])
