"""Tables whose files lie in the order of their keys: a change of few groups replaces few files."""
