//! `docs/check-your-controller.md` shows the example piece by piece: here the pieces are put together and compared.
//!
//! The example has a test of its own, so what the guide shows is compiled and run.

const GUIDE: &str = include_str!("../../docs/check-your-controller.md");
const EXAMPLE: &str = include_str!("../examples/own_controller.rs");

#[test]
fn the_pieces_of_the_guide_make_the_example() {
    let pieces = GUIDE.split("```rust\n").skip(1).map(|rest| {
        let (piece, _) = rest.split_once("```\n").expect("a block of code ends");
        piece
    });
    let guide = pieces.collect::<Vec<_>>().join("\n");
    let program = EXAMPLE.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    for (number, (guide, example)) in guide.lines().zip(program.clone()).enumerate() {
        assert_eq!(guide, example, "the guide and the example differ in line {number} of the program");
    }
    assert_eq!(guide.lines().count(), program.count());
}
