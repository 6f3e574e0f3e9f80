// The client as the global that its classic script sets.
import * as Widecast from "/client/widecast.js";
import { suites } from "/suites.js";
self.Widecast = Widecast;
self.suites = suites;
