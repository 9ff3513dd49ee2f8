package dataverse

// Update tells whether tests write the files that they compare with.
func Update() bool { return *update }
