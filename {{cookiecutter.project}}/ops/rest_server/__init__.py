"""RunPod's REST v2 API on this machine, as strict as its schema: ``python -m ops.rest_server``."""
