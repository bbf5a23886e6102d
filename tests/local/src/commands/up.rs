//! `cargo local up`.

use std::time::Instant;

use anyhow::Result;
use payment3_harness::aws::ACCESS_KEY;
use payment3_harness::workspace;
use payment3_stack::environment::{Between, Environment, Options, State};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;
use payment3_stack::provision::Notifications;

use crate::cli::Up;

/// Starts the environment, and runs it until Ctrl-C or SIGTERM.
///
/// # Errors
/// A step of the start fails, or a service of the environment ends unexpectedly.
pub async fn run(arguments: Up) -> Result<()> {
    let mut interrupted = Interrupt::new()?;
    let start = Instant::now();
    let options = options(&arguments);
    println!("Starting the payment system (branch {}):", options.branch);
    let mut environment = Environment::start(options, &mut interrupted).await?;
    print_urls(&environment, start.elapsed().as_secs_f64());
    let broken = tokio::select! {
        error = environment.broken() => Some(error),
        () = interrupted.wait() => None,
    };
    println!();
    let stopped = progress::step("Stopping", environment.stop()).await;
    match broken {
        Some(error) => Err(error),
        None => stopped,
    }
}

fn options(arguments: &Up) -> Options {
    Options {
        command: "cargo local up",
        directory: workspace::local_dir(),
        branch: workspace::branch(),
        aws_port: arguments.aws_port,
        bank_port: arguments.bank_port,
        shop_port: arguments.shop_port,
        state: if arguments.fresh {
            State::Renewed
        } else {
            State::Kept
        },
        notifications: Notifications::Automatic,
        between: Between::Nothing,
        functions: workspace::functions_dir(),
    }
}

fn print_urls(environment: &Environment, seconds: f64) {
    let outputs = environment.outputs();
    println!(
        "\nReady after {seconds:.1} s.\n\
         \n  API            {}\n  Sandbox bank   {}\n  Demo shop      {}\n  Local AWS      {} (region {}, both keys {ACCESS_KEY})\n  All addresses  {}\n\
         \nOpen the demo shop in a browser: pay by clicking, and watch the state machine. Or use another terminal:\n\
         \n  cargo local pay                  pays an order, from checkout to saved card\n  cargo local executions --watch   shows what the state machine does\n\
         \nCtrl-C stops everything and saves the state for the next start.",
        outputs.api_url,
        outputs.bank_url,
        outputs.shop_url,
        outputs.aws_endpoint,
        outputs.region,
        workspace::shown(environment.outputs_file()),
    );
}
