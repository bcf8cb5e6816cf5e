"""Tables of several upstreams, which are read together at one vector of versions."""
