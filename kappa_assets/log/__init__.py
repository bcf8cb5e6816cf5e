"""Where everything is on the tape, read from notes and logs without a JVM."""
