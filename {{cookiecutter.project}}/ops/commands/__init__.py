"""The commands of ``python -m ops``, a module each; what they do lies in ``ops`` itself."""
