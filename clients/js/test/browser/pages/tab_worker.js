importScripts("/client/widecast.iife.js", "/tab.js");
