// Package browser tests connect where it is used: in a real Chromium, from a site
// of the app's own to a hosted page on another, with strangers on a third. The tests of
// frames run in a real Firefox as well.
//
// One browser of each kind runs for all tests, and each person in them has a cookie jar
// of their own. go test's -parallel, the number of processors, is how many tests run at once.
package browser
