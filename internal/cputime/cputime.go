// Package cputime tells how much work was done, in tests of what work an input can
// cause. Time by the clock would be about the machine's other work as well.
package cputime
