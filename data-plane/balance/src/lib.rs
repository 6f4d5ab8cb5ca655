//! Every decision about upstreams: pickers, circuit breaker, health. Pure: no clock, no I/O.
