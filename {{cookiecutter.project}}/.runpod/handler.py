"""The handler file that the RunPod Hub looks for in a repository. The image starts ``python -m worker``, which does the same."""

import sys

from worker import bootstrap

if __name__ == "__main__":
    bootstrap.main(sys.argv[1:])
