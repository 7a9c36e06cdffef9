//! Whether each collector stays inside its default limits in a large world: memory, fuel, requests, deadline.
//!
//! For each world an HTTP server in this process plays the upstream, and the real binary runs the one collector
//! against it. Figures that the world determines are checked, so that nobody is fast by being wrong; where one is not
//! right, or the run does not end as it should, the exit code is 1.
//!
//! `cargo bench --bench worlds` runs everything; a word after `--` runs the worlds whose name holds it. The components
//! come from the folder `components` of the repository.

mod asana;
mod binary;
mod ec2;
mod github;
mod kubernetes;
mod server;
mod skypilot;
mod table;
mod time;
mod wandb;
mod world;

use std::path::Path;
use std::process::ExitCode;

use binary::Place;
use server::Server;
use table::Table;
use world::World;

/// Each world is run so often, after a run that compiles the component.
const ROUNDS: usize = 3;

/// Makes a world when its turn comes; it is dropped after that.
type Make = fn() -> World;

/// All worlds by name.
const WORLDS: [(&str, Make); 9] = [
    ("asana", asana::world),
    ("batch", kubernetes::batch),
    ("batch-again", kubernetes::batch_again),
    ("batch-jobs-gone", kubernetes::batch_jobs_gone),
    ("ec2", ec2::world),
    ("github", github::world),
    ("kubernetes", kubernetes::pods),
    ("skypilot", skypilot::world),
    ("wandb", wandb::world),
];

fn main() -> ExitCode {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").join("components");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let (mut table, mut problems) = (Table::default(), Vec::new());
    for (name, make) in WORLDS.into_iter().filter(|(name, _)| is_wanted(name)) {
        eprintln!("{name} …");
        if let Err(problem) = play(name, &make(), &components, &mut table) {
            problems.push(format!("{name}: {problem}"));
        }
    }
    println!("\n{}\n{table}", table::machine());
    for problem in &problems {
        println!("WRONG {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the collector in its world and adds a row to the table.
fn play(name: &str, world: &World, components: &Path, table: &mut Table) -> Result<(), String> {
    let component = components.join(format!("{}.wasm", world.collector));
    if !component.is_file() {
        return Err(format!("there is no {}: run `./just build-guests` first", component.display()));
    }
    let server = Server::start(world.upstream.clone());
    let place = Place::new(name, components, world, &server.address);
    place.warm_up(world.is_remembered)?;
    let runs = (0..ROUNDS).map(|_| place.run()).collect::<Result<Vec<_>, _>>()?;
    table.add(world, &runs);
    if let [first, ..] = server.unserved().as_slice() {
        return Err(format!("asked for what nobody serves: {first}"));
    }
    runs.iter().try_for_each(|run| world.check(run))
}
