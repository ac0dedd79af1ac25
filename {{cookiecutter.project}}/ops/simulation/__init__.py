"""An endpoint's life, simulated: arrivals, hosts and workers, and what jobs meet."""
