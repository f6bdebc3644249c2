package cputime

import (
	"testing"
	"time"
)

func TestUsed(t *testing.T) {
	begun := Used()
	for spent := time.Duration(0); spent <= 0; spent = Used() - begun { // it grows with work
	}
}
