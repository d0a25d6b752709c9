"""Grading: what a submission earns, found in trusted processes, while its own code runs in a sandboxed one.

What is trusted, and what is not
    `grade` and `running` start `trusted`, which runs the learner's own test files under pytest: inputs are made,
    expected values computed, results compared and mistakes diagnosed there. The submission's code is sent to a
    process in the sandbox (reference/sandbox) as text and answers requests by value: JSON and safetensors, no
    pickle, sizes and depths limited, plain tensors in memory of their own, errors of Python's own classes
    (dojo/wire.py, dojo/border.py). That process holds neither the reference nor tests nor mistakes; there is a
    fresh one for every test, so no test finds what another has left, and one that ends, hangs or lies costs the
    test in which it does.

How long it may take
    What the code computes counts, not the clock on the wall (dojo/clock.py): a slow or busy machine costs nobody a
    point. Code that computes or waits for too long stops itself and says at which line; what does not stop itself is
    ended by the system (dojo/limits.py). A function that was stopped in three tests is not called again, and the
    others are; after a minute of computing in one kata, or twelve of waiting, none of it is.

What holds where
    Every process of untrusted code gives up, for good and without any rights, what seccomp and Landlock can take:
    other processes, signals, sockets, programs, all files but Python's, writing. Limits on computing time, waiting
    time, memory, open files and output come on top, and around the whole a second wall where there is one:
    bubblewrap, else namespaces. A report says which, and what does not hold. On macOS only limits do: there, grade
    only code that you would also run by hand.

What a submission cannot do
    The list of attacks that are defeated is tests/attacks/test_attacks.py, a working example of each beside it. It
    cannot be excused either: "could not be checked" is said only where the worked answer cannot be checked at that
    moment.

What is believed
    The process that runs the code says itself whether an argument was changed, whether a result shares memory with
    one, and with what a tool was called. Code that takes the executor apart in its own memory can lie about these
    three, and about nothing else; it gains the points of promises that are easier to keep. `advisories` name code
    that looks at the stack, at loaded modules or at all objects, for a person to judge.

Points
    katas/curriculum.toml. With a hidden seed the tests that draw their cases draw unseen ones too, and their points
    are for those; the seed is told afterwards, and `pytest katas/rope --impl FILE --hidden-seed SEED` makes them
    again.
"""
