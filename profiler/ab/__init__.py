"""Two sides measured interleaved on one host: engines, flags, agents or revisions of a repository."""
