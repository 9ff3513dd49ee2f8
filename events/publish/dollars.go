package publish

import (
	"strconv"

	"github.com/apexsalesai/runmetrics/events"
)

// Dollars makes a cost of what a runtime has: US dollars as a float64, or as decimal text such as "0.0125", which is
// exact. Both are rounded half even to nine fraction digits: 0.059133500000000006 is 0.0591335. An amount that is not
// from 0 to 10^6, such as NaN, makes a cost that Publish refuses by the name costUSD. Where nobody knows the cost use
// events.Cost{} and not Dollars(0.0).
func Dollars[T float64 | string](amount T) events.Cost {
	var text string
	switch amount := any(amount).(type) {
	case float64:
		text = strconv.FormatFloat(amount, 'g', -1, 64)
	case string:
		text = amount
	}
	nanos, err := events.ParseCost(text)
	if err != nil {
		return events.USD(-1) // outside the contract, whatever was wrong
	}
	return events.USD(nanos)
}
