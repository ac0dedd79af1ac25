"""The endpoint that ``endpoint.toml`` declares: read, compared with what is live, and waited for."""
