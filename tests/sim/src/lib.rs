//! The simulator: weeks of payments in one process and one thread, with virtual time and everything random from one
//! seed. The activities, the definitions and the sandbox bank are the real ones.

mod random;
mod time;
