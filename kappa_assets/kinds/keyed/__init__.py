"""Gold with keys: the groups that a batch touches are computed anew, from its upstream or from rows kept beside it."""
