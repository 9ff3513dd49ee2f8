package replay

import "time"

// SetPatience sets for how long the stream is asked again from which nothing comes.
func (s *Stream) SetPatience(d time.Duration) { s.patience = d }

// SetList sets how many messages one request asks for.
func (s *Stream) SetList(n uint64) { s.list = n }
