// A worker or service worker that is a module. All imports are static: a message that comes before the handler is lost, and a
// service worker may not import while it runs.
import "/global.js";
import "/channel.js";
import "/worker.js";
