from sentinel_worker.cli import main

main()
