"""Tables of several upstreams."""
