"""What is on a tape decides what is read: the ledger of its deliveries, the look at what lies there, numbered plans."""
