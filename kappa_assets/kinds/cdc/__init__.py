"""Change data capture: changes of a source's rows, merged into their newest state or all of their versions."""
