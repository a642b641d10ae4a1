package anchorhttp

// Pooled is for tests that cannot replace http.DefaultTransport because they run in
// parallel.
var Pooled = pooled
