package state

// checkOwner trusts the access list that the installer gives the folder.
func checkOwner(string) error { return nil }
