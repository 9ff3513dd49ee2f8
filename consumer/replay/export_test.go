package replay

import "time"

// SetPatience sets for how long the stream is asked again from which nothing comes.
func (s *Stream) SetPatience(d time.Duration) { s.patience = d }
