"""Change data capture: changes of a source's rows, in any order, and what the source held."""
