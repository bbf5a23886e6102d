//! What tests act and look with: the shopper, the operator, the inspector, the invariants, and the proxy that injects
//! faults.

pub mod audit;
pub mod away;
pub mod aws;
pub mod call;
pub mod counterparties;
pub mod endpoints;
pub mod executions;
pub mod fast_retries;
pub mod fault_plan;
pub mod fault_proxy;
pub mod flow;
pub mod graph;
pub mod history;
pub mod http;
pub mod http_forward;
pub mod inspect;
pub mod invariants;
pub mod items;
pub mod json_api;
pub mod ledger;
pub mod logs;
pub mod operator;
pub mod outputs;
pub mod overview;
pub mod peer_process;
pub mod player;
pub mod proxy;
pub mod random;
pub mod redact;
pub mod refund_machine;
pub mod refunds;
pub mod shop_api;
pub mod shopper;
pub mod workspace;
