from weights_tools.commands.generate import main

raise SystemExit(main())
